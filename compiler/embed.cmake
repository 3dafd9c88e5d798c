# Writes OUT, a C file with the text of each of FILES (graphs/std) and the look-up std_source().
file(WRITE ${OUT}.new "#include <stddef.h>\n#include <string.h>\n\n")
set(table "")
set(i 0)
foreach(path ${FILES})
  get_filename_component(name ${path} NAME)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  file(APPEND ${OUT}.new "static const unsigned char file_${i}[] = {${bytes}0};\n")
  string(APPEND table "    { \"std/${name}\", file_${i}, sizeof file_${i} - 1 },\n")
  math(EXPR i "${i} + 1")
endforeach()
file(APPEND ${OUT}.new "
static const struct { const char *path; const unsigned char *text; size_t size; } files[] = {
${table}    { NULL, NULL, 0 },
};

const char *std_source(const char *path, size_t *size);
const char *std_source(const char *path, size_t *size)
{
    for (int i = 0; files[i].path; i++)
        if (!strcmp(files[i].path, path)) {
            if (size)
                *size = files[i].size;
            return (const char *)files[i].text;
        }
    return NULL;
}
")
file(RENAME ${OUT}.new ${OUT})
