-- needs: stages
-- ARGV: stage. One step of taking a submission back. Reply: 1 when it is gone.

if not call('ZSCORE', STAGES, ARGV[1]) then return 1 end
go_on_when_full()
local is_gone = sweep_stage(ARGV[1])
write_counters()
return is_gone and 1 or 0
