-- Addresses of fans who wait in a line and want a mail once it is their turn. The address and the link to the place are sealed.
create table fairline.line_mail (
    event text collate "C" not null,
    visitor text collate "C" not null,
    email text not null,
    link text not null,
    language text not null,
    created_at bigint not null,
    primary key (event, visitor)
);
