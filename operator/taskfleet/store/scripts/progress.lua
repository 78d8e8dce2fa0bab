-- needs: events
-- ARGV: id, fence, progress as JSON. Reply: 1 or 0 (fence refused).

local id, fence, data = ARGV[1], tonumber(ARGV[2]), ARGV[3]
go_on_when_full()
local t = holding(read_policy(), id, fence)
if not t then return 0 end
local key, last = begin_attempt(t, '{}')
append_event(key, last, fence, 'progress', data)
trim_events(key, last)
call('HSET', PROGRESS, id, string.format('%.0f:', fence) .. data)
call('PUBLISH', key, '')
call('PUBLISH', PROGRESS, id)
return 1
