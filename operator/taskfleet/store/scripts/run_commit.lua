-- needs: lib
-- ARGV: name of a parallel queue's run, who writes, the number of this change, ms for which the run is kept from now,
-- then three counts: of fields and values of the run, of indexes and states of open items, of indexes of items that
-- ended; these, and blocks of results. Reply: 1, or 0 when somebody else drives the run by now, or when the change before this
-- one is not there: it was lost, as in a failover. All that one moment of a run is stands or falls together. A change
-- that is sent again, since its reply was lost, is there already.

local name = ARGV[1]
local run, open, results = RUN_ .. name, RUN_ .. name .. ':open', RUN_ .. name .. ':results'
if call('HGET', run, 'holder') ~= ARGV[2] then return 0 end
local seen = tonumber(call('HGET', run, 'change'))
if seen >= tonumber(ARGV[3]) then return 1 end
if seen < tonumber(ARGV[3]) - 1 then return 0 end
call('HSET', run, 'change', ARGV[3])

local at = 8
local function some(count)
    local found = {}
    for i = 1, count do found[i] = ARGV[at + i - 1] end
    at = at + count
    return found
end

call_with_many('HSET', run, some(tonumber(ARGV[5])))
call_with_many('HSET', open, some(tonumber(ARGV[6])))
call_with_many('HDEL', open, some(tonumber(ARGV[7])))
call_with_many('RPUSH', results, some(#ARGV - at + 1))
for _, key in ipairs({run, open, results}) do call('PEXPIRE', key, ARGV[4]) end
return 1
