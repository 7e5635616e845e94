-- Place up to which the log of the event's line is in the outbox: the life of the line, and the last entry. A row's place is moved with
-- the events that are written, so that an entry is written once.
alter table fairline.event add column log_life text not null default '', add column log_entry bigint not null default 0;

-- Writes decisions of an event's line to the outbox, if its place is where they were read from. Two transactions with events of one
-- visitor hold the same row. Answers whether it was.
create function fairline.take_log(
    p_event text, p_life text, p_entry bigint, p_next_life text, p_next_entry bigint, o_request integer[], o_id text[],
    o_aggregatetype text[], o_aggregateid text[], o_type text[], o_payload text[], o_traceparent text[], o_at bigint[]
) returns boolean language plpgsql as $$
begin
    update fairline.event e set log_life = p_next_life, log_entry = p_next_entry
        where e.event = p_event and e.log_life = p_life and e.log_entry = p_entry and not e.is_moving;
    if not found then
        return false;
    end if;
    perform fairline.write_outbox(p_event, '{}', o_request, o_id, o_aggregatetype, o_aggregateid, o_type, o_payload, o_traceparent, o_at);
    return true;
end $$;
