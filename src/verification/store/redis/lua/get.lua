local row = find(cmsgpack.unpack(ARGV[2]))
if not row then
    return { 'NO' }
end
return { 'YES', { shown(row), redis.call('GET', bucket_name('w', row.window)) } }
