local replica, til = argument(), argument()
redis.call('HSET', base .. ':h', replica, til)
redis.call('PEXPIRE', base .. ':h', whole(DAY))
return { 'OK' }
