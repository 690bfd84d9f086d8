for _ = 1, number() do
    local key = argument()
    redis.call('DEL', bucket_name('w', key))
    clear_failures(key)
end
return { 'OK', changes }
