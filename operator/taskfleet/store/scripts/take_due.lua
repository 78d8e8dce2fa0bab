-- needs: lib
-- ARGV: receiver, most, ms after which a delivery that nobody has finished is due again. Reply: {id, document, ...}.

local due, answer = DUE_ .. ARGV[1], {}
local ids = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, ARGV[2])
for i = 1, #ids do
    call('ZADD', due, now + ARGV[3], ids[i])
    answer[#answer + 1] = ids[i]
    answer[#answer + 1] = call('HGET', DELIVERIES_ .. ARGV[1], ids[i]) or ''
end
return answer
