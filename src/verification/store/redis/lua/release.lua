local key, about, revision, event, retention = cmsgpack.unpack(ARGV[2])
if not clear_failures(key) then
    return { 'NO' }
end
redis.call('HSET', base .. ':v:' .. about, revision, event)
redis.call('PEXPIRE', base .. ':v:' .. about, retention)
return { 'YES', for_sql() }
