-- needs: events
-- ARGV: id. What is told of the task is kept from now on, if it has not ended. Reply: nothing when there is none, else
-- {its state's word or '' while it goes on, attempts, 1 when it was kept already}.

local t = load_task(ARGV[1])
if not t then return nil end
local state = STATE_WORDS[t.state]
if not state and not t.events then keep_events(t) end
return {state or '', t.attempts, t.events and 1 or 0}
