-- needs: lib
-- ARGV: an entry of ENDINGS that is told hereby, or ''; ms for which deliveries are kept; of each delivery the receiver, its
-- id and its document. Reply: 1, or 0 when somebody else has told the entry.

if ARGV[1] ~= '' and call('XDEL', ENDINGS, ARGV[1]) == 0 then return 0 end
for i = 3, #ARGV, 3 do
    local receiver, id = ARGV[i], ARGV[i + 1]
    if call('HSETNX', DELIVERIES_ .. receiver, id, ARGV[i + 2]) == 1 then call('ZADD', DUE_ .. receiver, now, id) end
    call('PEXPIRE', DELIVERIES_ .. receiver, ARGV[2])
    call('PEXPIRE', DUE_ .. receiver, ARGV[2])
end
return 1
