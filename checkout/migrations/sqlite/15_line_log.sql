-- Place up to which the log of the event's line is in the outbox: the life of the line, and the last entry. A row's place is moved with
-- the events that are written, so that an entry is written once.
alter table event add column log_life text not null default '';
alter table event add column log_entry integer not null default 0;
