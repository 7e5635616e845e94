-- Fans in line who are also told before their turn: `soon` until they were, or need not be any more. The number is null until the draw.
alter table fairline.line_mail add column number bigint, add column soon boolean not null default false;
create index line_mail_soon on fairline.line_mail (event, number nulls first) where soon;
