-- Addresses of fans who wait in a line and want a mail once it is their turn. The address and the link to the place are sealed.
create table line_mail (
    event text not null,
    visitor text not null,
    email text not null,
    link text not null,
    language text not null,
    created_at integer not null,
    primary key (event, visitor)
) strict, without rowid;
