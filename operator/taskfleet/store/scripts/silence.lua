-- needs: lib
-- A worker that is not heard while others are has lost its leases. Where no worker is heard it is not they who are gone
-- but the store, or the network, or the whole machine that slept; and all leases end together. So when one is heard
-- again, none ends for a while: each that lives has the time to say so, and then holds what it has.

-- A worker that slept beats within a third of a lease; one that was cut off tries twice a second, and a call that nobody
-- answers fails after 5 s.
local HEARD_WITHIN = 6000

-- For whom nobody is heard at all, and leases are over: so many of them does he wait for a first word.
local PATIENCE = 4

local function last_heard()
    return tonumber(call('ZRANGE', SEEN, -1, -1, 'WITHSCORES')[2])
end

-- Workers beat every third of a lease. A queue whose claimers never do knows no silence.
local function is_silent(heard, policy)
    return heard and now - heard > policy.lease_ms / 2
end

local function spared_until()
    return tonumber(call('HGET', POLICY, 'spared_until') or 0)
end

local function spare_until(ms)
    call('HSET', POLICY, 'spared_until', string.format('%.0f', ms))
    return ms
end

local function time_to_be_heard(policy)
    return math.max(policy.lease_ms / 2, math.min(policy.lease_ms, HEARD_WITHIN))
end

-- Before a worker counts as heard. Who is heard too seldom spares nobody for ever: what was given is not made longer.
local function end_silence(policy)
    if not is_silent(last_heard(), policy) then return end
    local given, ends = spared_until(), now + time_to_be_heard(policy)
    if given <= now then
        spare_until(ends)
    elseif given > ends then
        spare_until(ends)
        tell_listeners()  -- they sleep until `given`
    end
end

-- Asked when leases are over: until when they hold all the same.
local function spare(policy)
    local heard, given, patience = last_heard(), spared_until(), PATIENCE * policy.lease_ms
    local was_waited = heard and given - patience > heard
    if is_silent(heard, policy) and not was_waited then return spare_until(now + patience) end
    return given
end
