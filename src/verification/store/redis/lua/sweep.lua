local before, limit = cmsgpack.unpack(ARGV[2])
local ids = redis.call('ZRANGEBYSCORE', base .. ':t', '-inf', '(' .. before, 'LIMIT', 0, limit)
for _, id in ipairs(ids) do
    local row = read_row(id)
    if row then
        redis.call('ZREM', base .. ':d:' .. row.index, id)
        redis.call('ZREM', base .. ':p:' .. row.pending, id)
        dequeue(row)
        redis.call('DEL', row_name .. id)
    end
    redis.call('ZREM', base .. ':t', id)
end
return { 'OK', #ids }
