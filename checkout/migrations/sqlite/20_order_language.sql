-- Code of the language that the buyer's page had; null if it is not known, and that of the event counts.
alter table orders add column language text;
