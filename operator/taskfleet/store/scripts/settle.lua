-- needs: writing
-- ARGV: blob of settlements as codec.py packs them. Reply: 1 or 0 (fence refused) for each.

local blob = ARGV[1]
local policy = read_policy()
local COMPLETE, FAIL, RETRY, RELEASE, CANCEL = 'C', 'F', 'R', 'L', 'X'
local ENDS = {[COMPLETE] = COMPLETED, [FAIL] = FAILED_STATE, [CANCEL] = CANCELLED}

local items, ids = {}, {}
local position = 1
while position <= #blob do
    local verdict, fence, delay, tokens_in, tokens_out, id, code, result, forgotten, turn
    verdict, fence, delay, tokens_in, tokens_out, id, code, result, forgotten, turn, position =
        unpack_('>c1I4I6I4I4I2c0I2c0I4c0I2I4c0', blob, position)
    items[#items + 1] = {
        verdict = verdict, fence = fence, delay = delay, tokens_in = tokens_in, tokens_out = tokens_out, id = id,
        code = code, result = result, forgotten = forgotten, turn = turn,
    }
    ids[#ids + 1] = id
end

local answers, later = {}, {}

local function hand_back(t, s, worker)
    if s.result ~= '' then note_attempt(t, worker, s.result) end
    if s.verdict == RELEASE then t.attempts = t.attempts - 1 end
    change(stat_changes, 'retries.' .. s.code, 1)
    if s.delay > 0 then
        t.state = SCHEDULED_STATE
        save_task(t)
        change(tenant_changes, t.tenant, 1)
        later[#later + 1] = now + s.delay
        later[#later + 1] = s.id
    else
        come_back(t)
    end
end

-- What was said in a session, for the call that comes next.
local function remember(t, s)
    local turns = TURNS_ .. t.session
    if s.forgotten > 0 then call('LTRIM', turns, s.forgotten, -1) end
    call('RPUSH', turns, s.turn)
    call('PEXPIRE', turns, math.max(1, policy.keep_results_ms))
end

go_on_when_full()
local holders = policy and call('HMGET', HOLDERS, unpack(ids))
for i = 1, #items do
    local s = items[i]
    local t = policy and load_task(s.id)
    if not t or t.state ~= RUNNING or t.fence ~= s.fence then
        answers[i] = 0
    else
        answers[i] = 1
        end_lease(t)
        if s.tokens_in > 0 then change(stat_changes, 'tokens_input', s.tokens_in) end
        if s.tokens_out > 0 then change(stat_changes, 'tokens_output', s.tokens_out) end
        local state = ENDS[s.verdict]
        if not state and t.cancel == 1 then
            state, s.result = CANCELLED, '{}'
        elseif s.verdict == RETRY and t.attempts >= policy.max_attempts then
            state = FAILED_STATE  -- it had all of its attempts, whatever its worker thinks
        elseif not state and is_late(t) then
            state, s.result = EXPIRED, TOO_LATE
        end
        if state then
            if state == COMPLETED and s.turn ~= '' and t.session ~= '' then remember(t, s) end
            finish(t, state, policy, holders[i] or '', s.result)
        else
            hand_back(t, s, holders[i] or '')
        end
    end
end

if policy then
    if #later > 0 then
        local before = first_score(SCHEDULED)
        call_with_many('ZADD', SCHEDULED, later)
        -- Whoever sleeps until the earliest retry must hear of an earlier one.
        if not before or first_score(SCHEDULED) < before then woken = true end
    end
    write_moves(policy)
end
return answers
