-- One that is not known was taken for dead, or was never heard: from now on it has the new name.
local replica, new, til = cmsgpack.unpack(ARGV[2])
local verdict = 'KEPT'
if redis.call('HEXISTS', base .. ':h', replica) == 0 then
    replica, verdict = new, 'RENAMED'
end
redis.call('HSET', base .. ':h', replica, til)
redis.call('PEXPIRE', base .. ':h', DAY)
return { verdict }
