local key, about, event, retention = argument(), argument(), argument(), argument()
if not clear_failures(key) then
    return { 'NO' }
end
redis.call('RPUSH', base .. ':e:' .. about, event)
redis.call('PEXPIRE', base .. ':e:' .. about, retention)
return { 'YES', changes }
