-- needs: lib
-- ARGV: stage of the first partition, ids. The next tasks of a batch in input order, whichever partitions they are in.
-- Reply: {'ok'} or why not.

local key = STAGE_ .. ARGV[1]
if call('HEXISTS', key, 'open') == 0 then return {'stage_lost'} end
local ids = {}
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
call_with_many('RPUSH', key .. ':order', ids)
return {'ok'}
