local name, answer = base .. ':i:' .. claim_key, argument()
local text = redis.call('GET', name)
if text then
    local kept = cmsgpack.unpack(text)
    if answer ~= '' then
        redis.call('SET', name, cmsgpack.pack({ kept[1], kept[2], answer }), 'KEEPTTL')
    elseif kept[1] == claim_payload and not kept[3] then
        redis.call('DEL', name)
    end
end
return { 'OK' }
