for _, key in ipairs((cmsgpack.unpack(ARGV[2]))) do
    redis.call('DEL', bucket_name('w', key))
    clear_failures(key)
end
return { 'OK', for_sql() }
