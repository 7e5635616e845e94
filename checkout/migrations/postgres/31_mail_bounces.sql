-- Mails that came back: `bounced_to` is the keyed hash of the address to which no further mail about an order is sent, or empty if
-- further ones may arrive, as after an organiser had one sent again. Null for all other mails.
alter table fairline.mail add column bounced_to text collate "C";
create index mail_bounced on fairline.mail (bounced_to) where bounced_to is not null;
