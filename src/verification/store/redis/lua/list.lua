local service, key, before, limit = cmsgpack.unpack(ARGV[2])
local index = base .. ':d:' .. key
local found, edge = {}, before and '(' .. before or '+'
while #found < limit do
    local ids = redis.call('ZREVRANGEBYLEX', index, edge, '-', 'LIMIT', 0, limit)
    for _, id in ipairs(ids) do
        local row = find(service, id)
        if not row then
            -- It ended by itself while nobody kept house.
            redis.call('ZREM', index, id)
        elseif #found < limit then
            found[#found + 1] = { shown(row), redis.call('GET', bucket_name('w', row.window)) }
        end
    end
    if #ids < limit then
        break
    end
    edge = '(' .. ids[#ids]
end
return { 'OK', found }
