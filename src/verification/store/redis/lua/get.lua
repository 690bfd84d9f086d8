local row = find(argument(), argument())
if not row then
    return { 'NO' }
end
return { 'YES', { shown(row), redis.call('GET', bucket_name('w', row.window)) } }
