-- needs: lib
-- ARGV: pool/endpoint, ms that a call counts, requests and tokens a minute (0: no limit), number of changes, of each its
-- ms, requests and tokens, then the number of wanted calls and, if tokens are limited, those of each. Reply: {granted,
-- now, ms until the next may have room, what is lacking, requests and tokens that count}.
-- The key holds totals and, for each quarter of a second, what was reserved in it. A quarter counts until its last moment
-- is as many ms ago: a whole minute of them is never looked at, and a limit of any size takes the same room.

local key, counted_ms = LIMIT_ .. ARGV[1], tonumber(ARGV[2])
local most = {r = tonumber(ARGV[3]), t = tonumber(ARGV[4])}
local changes = tonumber(ARGV[5])
local QUARTER_MS = 250
local current = math.floor(now / QUARTER_MS)
local oldest = math.floor((now - counted_ms) / QUARTER_MS)  -- that counts
local LAST_ARG = 6 + 3 * changes
local wanted = tonumber(ARGV[LAST_ARG])
go_on_when_full()

local state = call('HMGET', key, 'r', 't', 'first', 'paused')
local total = {r = tonumber(state[1] or 0), t = tonumber(state[2] or 0)}
local first, paused = tonumber(state[3] or current), tonumber(state[4] or 0)
if first > current + 1 then  -- the server's clock was set back by more than all that counts
    call('UNLINK', key)
    state, total, first, paused = {}, {r = 0, t = 0}, current, 0
end
first = math.min(first, current)

local function count(kind, quarter, by)
    if by == 0 then return end
    call('HINCRBY', key, kind .. ':' .. quarter, by)
    total[kind] = total[kind] + by
end

local function names_of(kind, from, to)
    local names = {}
    for quarter = from, to do names[#names + 1] = kind .. ':' .. string.format('%d', quarter) end
    return names
end

-- The key expires with its last quarter, so that there are never more than these to forget.
local last_to_forget = math.min(oldest - 1, first + math.ceil(counted_ms / QUARTER_MS) + 1)
if first <= last_to_forget then
    for _, kind in ipairs({'r', 't'}) do
        local names = names_of(kind, first, last_to_forget)
        local counts = call('HMGET', key, unpack(names))
        for i = 1, #counts do total[kind] = total[kind] - tonumber(counts[i] or 0) end
        call('HDEL', key, unpack(names))
    end
end
first = math.max(first, oldest)

-- What is given back leaves the quarter in which it was reserved, if that counts still. What was used beyond the estimate
-- counts from now on: it makes the next minute smaller.
for i = 6, LAST_ARG - 1, 3 do
    local quarter = math.floor(tonumber(ARGV[i]) / QUARTER_MS)
    for kind, by in pairs({r = tonumber(ARGV[i + 1]), t = tonumber(ARGV[i + 2])}) do
        if by > 0 then
            count(kind, current, by)
        elseif quarter >= first then
            count(kind, quarter, by)
        end
    end
end

-- A single call that is larger than the limit starts when nothing else counts, or it never would.
local function has_room(kind, want)
    return most[kind] == 0 or total[kind] == 0 or total[kind] + want <= most[kind]
end

local function ms_until_room(kind, want)
    local counts, left = call('HMGET', key, unpack(names_of(kind, first, current))), total[kind]
    for i = 1, #counts do
        left = left - tonumber(counts[i] or 0)
        if left <= 0 or left + want <= most[kind] then
            return (first + i) * QUARTER_MS + counted_ms - now
        end
    end
    return counted_ms
end

local granted, tokens, lacking, wait = 0, 0, '', 0
if now < paused then
    lacking, wait = 'paused', paused - now
elseif most.t == 0 then  -- all calls are alike
    granted = most.r == 0 and wanted or math.max(0, math.min(wanted, most.r - total.r))
    total.r = total.r + granted
    if granted < wanted then lacking, wait = 'requests', ms_until_room('r', 1) end
else
    for i = 1, wanted do
        local want = tonumber(ARGV[LAST_ARG + i])
        if not has_room('r', 1) then
            lacking, wait = 'requests', ms_until_room('r', 1)
        elseif not has_room('t', want) then
            lacking, wait = 'tokens', ms_until_room('t', want)
        end
        if lacking ~= '' then break end
        total.r, total.t, tokens = total.r + 1, total.t + want, tokens + want
        granted = granted + 1
    end
end

if granted > 0 then
    total.r, total.t = total.r - granted, total.t - tokens
    count('r', current, granted)
    count('t', current, tokens)
end
if state[3] or granted > 0 or changes > 0 then
    call('HSET', key, 'r', total.r, 't', total.t, 'first', string.format('%d', first))
    call('PEXPIRE', key, math.max(counted_ms + QUARTER_MS, paused - now))
end
return {granted, now, wait, lacking, total.r, total.t}
