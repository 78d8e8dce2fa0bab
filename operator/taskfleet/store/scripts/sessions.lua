-- needs: moves
-- The tasks of a session run one at a time, in the order in which they came: its list has all of them that are not final,
-- the first waits or runs, the others are blocked until it is final.

-- Whoever comes next, now that the first of the list is final or gone.
local function advance(name)
    local session = SESSION_ .. name
    while true do
        local id = call('LINDEX', session, 0)
        if not id then return end
        local t = load_task(id)
        if t and t.session == name and not STATE_WORDS[t.state] then
            if t.state == BLOCKED then
                change_pending(t, -1)
                come_back(t)
            end
            return
        end
        call('LPOP', session)
    end
end
