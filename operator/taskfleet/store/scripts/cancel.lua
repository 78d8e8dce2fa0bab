-- needs: writing
-- ARGV: ids. Reply: for each what became of it.

local policy = read_policy()
local answers = {}
go_on_when_full()
for i = 1, #ARGV do
    local t = policy and load_task(ARGV[i])
    if not t then
        answers[i] = 'not_found'
    elseif t.state == RUNNING then
        t.cancel = 1
        save_task(t)
        answers[i] = 'cancelling'
        woken = true
    elseif STATE_WORDS[t.state] then
        answers[i] = 'finished'
    else
        finish(t, CANCELLED, policy, '', '{}')
        answers[i] = 'cancelled'
        woken = true
    end
end
if policy then write_moves(policy) end
return answers
