local service, index, before, limit = argument(), base .. ':d:' .. argument(), argument(), number()
local found, edge = {}, before == '' and '+' or '(' .. before
while #found < limit do
    local ids = redis.call('ZREVRANGEBYLEX', index, edge, '-', 'LIMIT', 0, limit)
    for _, id in ipairs(ids) do
        local row = find(service, id)
        if row and #found < limit then
            found[#found + 1] = { shown(row), redis.call('GET', bucket_name('w', row.window)) }
        end
    end
    if #ids < limit then
        break
    end
    edge = '(' .. ids[#ids]
end
return { 'OK', found }
