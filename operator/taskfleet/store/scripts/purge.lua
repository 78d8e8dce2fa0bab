-- needs: lib
-- ARGV: ids of dead letters. Reply: for each what became of it. Counters of their batches stay: they did fail.

local policy = read_policy()
local answers, keys, ids = {}, {}, {}
go_on_when_full()
for i = 1, #ARGV do
    local t = policy and load_task(ARGV[i])
    if not t then
        answers[i] = 'not_found'
    elseif t.state ~= FAILED_STATE then
        answers[i] = 'not_failed'
    else
        answers[i] = 'purged'
        ids[#ids + 1] = t.id
        keys[#keys + 1] = TASK_ .. t.id
    end
end
if #ids > 0 then
    delete_many(keys)
    change(stat_changes, 'purged', call('ZREM', FAILED, unpack(ids)))
    woken = true
    write_counters(policy)
end
return answers
