-- needs: lib
-- ARGV: batch, the ms at which it was last looked at. Forgets the input order of a batch of which nothing is left, unless
-- it has grown since.

if tonumber(call('ZSCORE', ORDERS, ARGV[1])) == tonumber(ARGV[2]) then
    call('ZREM', ORDERS, ARGV[1])
    call('UNLINK', BATCH_ .. ARGV[1] .. ':order')
end
return 1
