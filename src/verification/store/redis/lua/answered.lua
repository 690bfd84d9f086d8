local name = base .. ':i:' .. claim_key
local text = redis.call('GET', name)
if text then
    local kept = cmsgpack.unpack(text)
    redis.call('SET', name, cmsgpack.pack({ kept[1], kept[2], argument() }), 'KEEPTTL')
end
return { 'OK' }
