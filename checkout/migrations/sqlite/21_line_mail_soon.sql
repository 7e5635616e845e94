-- Fans in line who are also told before their turn: `soon` until they were, or need not be any more. The number is null until the draw.
alter table line_mail add column number integer;
alter table line_mail add column soon integer not null default 0;
create index line_mail_soon on line_mail (event, number) where soon = 1;
