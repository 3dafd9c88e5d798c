/* elab_builtin.h - what the files of the built-in functions share; nobody else includes it.
 *
 * A function gets its row and the values of its parameters in the signature's order, VAL_NONE where one is absent, and answers VAL_NONE after an error.
 */
#ifndef PASTICHE_ELAB_BUILTIN_H
#define PASTICHE_ELAB_BUILTIN_H

#include "elab.h"

typedef Value BuiltinFn(Elab *e, const Builtin *b, Value *v, Loc loc);
struct Builtin { const char *name, *signature; BuiltinFn *fn; Op op; };

/* Makes a node after infer_type has agreed; its complaint becomes the user's. given: the type where it cannot be inferred, or NULL. */
Value checked_node(Elab *e, Op op, const char *name, int nargs, const Ref *args, int nattrs, const int64_t *attrs, const Type *given, Loc loc);
bool  is_pictures(Elab *e, const Builtin *b, Ref r, Loc loc, Type *t);   /* of rank 4? *t is its type; false after an error */
bool  pad_amounts(Elab *e, const Value *v, int64_t *out);      /* elab_move.c: n, [vertical, horizontal] or [top, bottom, left, right]; false after an error */

/* elab_arith.c */
BuiltinFn do_unary, do_stop, do_square, do_binary, do_logic, do_log2, do_select, do_cast, do_reduce, do_argmax;
/* elab_move.c */
BuiltinFn do_reshape, do_flatten, do_transpose, do_expand, do_concat, do_pad, do_pad_to, do_resize;
/* elab_window.c */
BuiltinFn do_pool, do_conv2d, do_conv2d_t, do_matmul;

#endif
