-- needs: lib
-- ARGV: pool/endpoint, ms. Nothing of this endpoint is granted for so long. Its workers hear of it as of a new policy,
-- with their next claim; an end that moves by less than a second is no news.

local key, ends = LIMIT_ .. ARGV[1], now + tonumber(ARGV[2])
local NEWS_MS = 1000
go_on_when_full()
local before = tonumber(call('HGET', key, 'paused') or 0)
if ends <= before then return 0 end
call('HSET', key, 'paused', string.format('%d', ends))
if call('PTTL', key) < ends - now then call('PEXPIRE', key, ends - now) end
if ends < before + NEWS_MS or not call('HGET', POLICY, 'version') then return 0 end
call('HINCRBY', POLICY, 'version', 1)
tell_listeners()
return 1
