-- needs: intake
-- ARGV: tenants ('' is the default). Reply: {maxPending, tasks that wait, whether tenants have limits, then of each
-- tenant its maxPending (-1: none) and what it holds}, or nothing when there is no such queue.

local policy = read_policy()
if not policy then return false end
local answer = {policy.max_pending, held(), policy.tenant_limits and 1 or 0}
for i = 1, #ARGV do
    local limit, holds = tenant_room(ARGV[i])
    answer[#answer + 1] = limit or -1
    answer[#answer + 1] = holds
end
return answer
