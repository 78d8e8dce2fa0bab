-- needs: lib
-- ARGV: worker. Forgets its report.

call('ZREM', SEEN, ARGV[1])
call('HDEL', WORKERS, ARGV[1])
call('HDEL', BEGAN, ARGV[1])
tell_listeners()
return 1
