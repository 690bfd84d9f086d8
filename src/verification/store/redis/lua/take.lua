return take_all((cmsgpack.unpack(ARGV[2]))) or { 'OK' }
