# Writes OUT, a header with a hash of the texts of FILES: machine code kept on disk by another compiler than this one is not used (code_cache.c).
set(all "")
foreach(path ${FILES})
  file(SHA256 ${path} one)
  string(APPEND all ${one})
endforeach()
string(SHA256 all "${all}")
file(WRITE ${OUT}.new "#define COMPILER_HASH \"${all}\"\n")
file(RENAME ${OUT}.new ${OUT})
