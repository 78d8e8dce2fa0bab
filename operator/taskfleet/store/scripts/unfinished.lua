-- needs: lib
-- ARGV: ms. Reply: {ms of the clock, number of stages that end by a decision, stage, its first stage or '', its
-- decision or '', ...} of those that nobody has touched for so long, some at a time.

local AT_ONCE = 100
local answer = {now, call('ZCOUNT', STAGES, DECIDED_LATER, '+inf')}
if answer[2] == 0 then return answer end
local silent_since = DECIDED_LATER + now - tonumber(ARGV[1])
local found = call('ZRANGEBYSCORE', STAGES, DECIDED_LATER, silent_since, 'LIMIT', 0, AT_ONCE)
for i = 1, #found do
    local s = call('HMGET', STAGE_ .. found[i], 'first_stage', 'decided')
    answer[#answer + 1] = found[i]
    answer[#answer + 1] = s[1] or ''
    answer[#answer + 1] = s[2] or ''
end
return answer
