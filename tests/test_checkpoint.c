/* test_checkpoint.c - saving, keeping, finding and refusing checkpoints, among them every single flipped byte of one. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "checkpoint.h"
#include "files.h"

static char dir[] = "/tmp/pastiche_ck_XXXXXX";

static int count_files(void)
{
    DIR *d = opendir(dir);
    int  n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;     /* temporary files count: there must be none */
    closedir(d);
    return n;
}

static CheckpointInfo info_at(uint64_t step)
{
    CheckpointInfo c = { .train = "main", .stage = 3, .seed = UINT64_MAX, .step = step, .stage_step = 7, .epoch = 1.0 / 3, .best = NAN, .model = 0xFEDCBA9876543210u };
    Status         st = { 0 };
    checkpoint_note_data(&c, "faces", (DataPos){ 2, step * 3 }, &st);
    checkpoint_note_data(&c, "others", (DataPos){ 0, 5 }, &st);
    return c;
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    Status   st = { 0 };
    Tensor   w, t, w2, t2;
    int64_t  shape[2] = { 3, 4 };
    SafeItem items[] = { { "opt.t", &t }, { "G.weight", &w } }, into[] = { { "G.weight", &w2 }, { "opt.t", &t2 } };
    tensor_alloc(&w, DT_F32, 2, shape, &st), tensor_alloc(&w2, DT_F32, 2, shape, &st);
    tensor_alloc(&t, DT_F64, 0, NULL, &st), tensor_alloc(&t2, DT_F64, 0, NULL, &st);

    char          *path = NULL;
    Text           refused = { 0 };
    CheckpointInfo c;
    CHECK(!checkpoint_find(dir, &path, &c, &refused, &st) && strstr(st.message, "no checkpoint"), "%s", st.message);
    st = (Status){ 0 };
    for (uint64_t step = 100; step <= 500; step += 100) {
        for (int i = 0; i < 12; i++)
            ((float *)w.data)[i] = (float)(step + (uint64_t)i) / 7;
        *(double *)t.data = (double)step / 3;
        c = info_at(step);
        CHECK(checkpoint_save(dir, 3, &c, items, 2, &path, &st), "%s", st.message);
        CHECK(path && strstr(path, "step-00000") && path_is_file(path), "%s", path);
        free(path);
    }
    CHECK(count_files() == 3, "%d files are kept of 5", count_files());

    path = NULL;
    CHECK(checkpoint_load(dir, &c, into, 2, &path, &refused, &st) && strstr(path, "step-00000500"), "%s", st.message);
    CHECK(!memcmp(w.data, w2.data, 48) && !memcmp(t.data, t2.data, 8), "bits survive");
    CHECK(!strcmp(c.train, "main") && c.stage == 3 && c.seed == UINT64_MAX && c.step == 500 && c.stage_step == 7 && c.epoch == 1.0 / 3 && isnan(c.best) &&
          c.model == 0xFEDCBA9876543210u, "all of the run's state survives");
    const DataPos *pos = checkpoint_data(&c, "faces");
    CHECK(pos && pos->epoch == 2 && pos->index == 1500 && checkpoint_data(&c, "others")->index == 5 && !checkpoint_data(&c, "nobody"), "data positions survive");
    CHECK(!refused.n, "nothing is refused: %s", refused.at);

    /* Any flipped byte is found, whatever it hits. */
    uint8_t *bytes;
    size_t   n;
    CHECK(file_read(path, 1 << 20, &bytes, &n, &st), "%s", st.message);
    for (size_t i = 0; i < n; i++) {
        Status why = { 0 };
        bytes[i] ^= 0x04;
        file_write(path, bytes, n, &why);
        bytes[i] ^= 0x04;
        CHECK(!checkpoint_read(path, &c, into, 2, &why) && strstr(why.message, "step-00000500"), "byte %zu of %zu may change unseen", i, n);
    }
    CHECK(file_write(path, bytes, n - 9, &st), "%s", st.message);          /* as a full disk leaves it without the atomic rename */
    free(path), free(bytes);
    path = NULL;
    CHECK(checkpoint_load(dir, &c, into, 2, &path, &refused, &st) && c.step == 400 && strstr(path, "step-00000400"), "the newest whole one: %s", st.message);
    CHECK(refused.at && strstr(refused.at, "step-00000500"), "the damaged one is named: %s", refused.at ? refused.at : "");
    free(path);

    /* Other tensors than the model's. */
    SafeItem other[] = { { "G.weight", &w2 }, { "D.weight", &t2 } };
    path = NULL;
    CHECK(!checkpoint_load(dir, &c, other, 2, &path, NULL, &st) && strstr(st.message, "none of the 3") && !path, "%s", st.message);
    st = (Status){ 0 };
    c = info_at(600);
    CHECK(checkpoint_save(dir, 0, &c, items, 2, NULL, &st) && count_files() == 4, "keep 0 keeps all");
    c = info_at(300);
    CHECK(checkpoint_save(dir, 1, &c, items, 2, NULL, &st) && count_files() == 4, "files of later steps stay");
    char *notes = path_join(dir, "step-2.safetensors");
    CHECK(file_write(notes, "x", 1, &st), "%s", st.message);
    CHECK(checkpoint_find(dir, NULL, &c, NULL, &st) && c.step == 600, "names that are not ours do not count: %s", st.message);
    CHECK(!checkpoint_read_info(notes, &c, &st) && strstr(st.message, "step-2"), "%s", st.message);
    free(notes);
    text_free(&refused);
    tensor_free(&w), tensor_free(&w2), tensor_free(&t), tensor_free(&t2);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return check_done() || system(command);
}
