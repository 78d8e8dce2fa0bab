-- needs: lib
-- ARGV: ids. Reply: for each {record without body, holder or '', noted attempts or '', ms at which it waits again or '',
-- progress of a running one or ''}, or nothing where there is no such task; fewer than asked for when they are big.

local ENOUGH_BYTES = 4 * 1024 * 1024

local function progress_of(t)
    local told = t.events and t.state == RUNNING and call('HGET', PROGRESS, t.id)
    local fence, data = string.match(told or '', '^(%d+):(.*)$')
    return tonumber(fence) == t.fence and data or ''
end

local answers, bytes = {}, 0
for i = 1, #ARGV do
    local id = ARGV[i]
    local t = load_task(id)
    if not t then
        answers[i] = false
    elseif STATE_WORDS[t.state] then
        local record = final_parts(call('GET', TASK_ .. id), t)
        answers[i] = {record, '', '', '', ''}
        bytes = bytes + #record
    else
        local due = t.state == SCHEDULED_STATE and call('ZSCORE', SCHEDULED, id) or ''
        answers[i] = {moving_part(t) .. t.fixed, call('HGET', HOLDERS, id) or '', call('HGET', ATTEMPTS, id) or '', due,
            progress_of(t)}
    end
    if bytes > ENOUGH_BYTES then break end
end
return answers
