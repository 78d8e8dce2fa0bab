-- needs: lib
-- ARGV: receiver, id, ms after which it is due again ('': it is done with), its document then.

local due, documents = DUE_ .. ARGV[1], DELIVERIES_ .. ARGV[1]
go_on_when_full()
if ARGV[3] == '' then
    call('ZREM', due, ARGV[2])
    call('HDEL', documents, ARGV[2])
elseif call('ZSCORE', due, ARGV[2]) then  -- else somebody else has done with it meanwhile
    call('ZADD', due, now + ARGV[3], ARGV[2])
    call('HSET', documents, ARGV[2], ARGV[4])
end
return 1
