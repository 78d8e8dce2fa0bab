-- needs: lib
-- ARGV: some keys of a queue that is being dropped. Reply: 1, or 0 when the queue was made anew: they are its own then.

if call('EXISTS', POLICY) == 1 then return 0 end
call('UNLINK', unpack(ARGV))
return 1
