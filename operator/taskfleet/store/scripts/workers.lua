-- needs: lib
-- Reply: the reports of workers heard of within one lease.

local policy = read_policy()
if not policy then return {} end
local alive = call('ZRANGEBYSCORE', SEEN, now - policy.lease_ms, '+inf')
if #alive == 0 then return {} end
return call('HMGET', WORKERS, unpack(alive))
