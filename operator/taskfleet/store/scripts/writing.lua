-- needs: sessions
-- What a script has moved, written at its end.

local MOST_ENDINGS = 100000
local function write_moves(policy)
    for name in pairs(sessions_freed) do advance(name) end
    sessions_freed = {}
    if #freed > 0 then
        call_with_many('ZREM', LEASES, freed)
        call_with_many('HDEL', HOLDERS, freed)
        freed = {}
    end
    if #failed_now > 0 then
        call_with_many('ZADD', FAILED, failed_now)
        failed_now = {}
    end
    for name, flow in pairs(coming_back) do
        call_with_many('ZADD', BACK_ .. name, flow)
        activate(flow.lane, flow.tenant, flow.since)
    end
    for name, flow in pairs(arriving) do
        call_with_many('RPUSH', FLOW_ .. name, flow)
        activate(flow.lane, flow.tenant, flow.since)
    end
    coming_back, arriving = {}, {}
    if #announced > 0 then
        call('PUBLISH', ANNOUNCED, table.concat(announced))  -- before the ids, or they would be read
        announced = {}
    end
    if #ended > 0 then
        local ids = table.concat(ended, ' ')
        call('PUBLISH', ENDED, ids)
        call('XADD', ENDINGS, 'NOMKSTREAM', 'MAXLEN', '~', MOST_ENDINGS, '*', 'ids', ids)  -- nothing while nobody asked
        ended = {}
    end
    local emptied = write_counters(policy)
    for i = 1, #emptied do drop_lane(emptied[i]) end
end
