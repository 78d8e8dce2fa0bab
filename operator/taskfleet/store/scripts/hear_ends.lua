-- needs: lib
-- ARGV: ms for which ends are kept when nobody asks again, most entries. Reply: entries of ENDINGS, the oldest first. From
-- the first call on what ends is kept (writing.lua).

if call('EXISTS', POLICY) == 0 then return {} end
if call('PEXPIRE', ENDINGS, ARGV[1]) == 0 then
    call('XGROUP', 'CREATE', ENDINGS, 'readers', '$', 'MKSTREAM')  -- makes an empty one
    call('PEXPIRE', ENDINGS, ARGV[1])
end
return call('XRANGE', ENDINGS, '-', '+', 'COUNT', ARGV[2])
