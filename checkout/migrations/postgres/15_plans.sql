-- Sets a plan in which some seats are not for sale: they are blocked from the start. Answers as the function of three
-- parameters does.
create function fairline.set_plan(p_event text, p_plan text, p_seats integer, p_blocked integer[]) returns integer
language plpgsql as $$
declare
    v_version integer := fairline.set_plan(p_event, p_plan, p_seats);
begin
    if v_version > 0 then
        update fairline.seat s set state = 3 where s.event = p_event and s.seat = any (p_blocked);
    end if;
    return v_version;
end $$;
