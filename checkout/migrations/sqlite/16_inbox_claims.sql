-- What a parked webhook says of its payment that the provider cannot be asked again, as JSON.
alter table inbox add column claim text;
