-- needs: stages
-- ARGV: stage. One step of taking a submission back. Reply: 1 when it is gone, -1 when it was decided and must stay.

if not call('ZSCORE', STAGES, ARGV[1]) then return 1 end
if call('HEXISTS', STAGE_ .. ARGV[1], 'decided') == 1 then return -1 end
go_on_when_full()
local is_gone = sweep_stage(ARGV[1])
write_counters()
return is_gone and 1 or 0
