-- Facts of a parked webhook that the provider cannot be asked for again, as JSON.
alter table fairline.inbox add column claim text;
